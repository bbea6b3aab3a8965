"""What is stored of texts is sealed with the operator's keys, and opened again.

What must be looked up stays as it is: ids, instances, rooms, states, times, classes.
"""
