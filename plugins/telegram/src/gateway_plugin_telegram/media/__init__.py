"""Files of messages: what each is sent as, how they make messages, and the requests for them."""
