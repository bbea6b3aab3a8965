"""Works out what a reader sees of a message's content, and draws it."""
