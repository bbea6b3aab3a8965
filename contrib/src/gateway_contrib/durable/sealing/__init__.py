"""What is stored of texts is sealed with the operator's keys, and opened again, in any engine.

What must be looked up stays as it is: ids, instances, rooms, states, times, classes.
"""
