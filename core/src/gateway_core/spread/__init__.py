"""Serves or hands over, account by account, where they are spread over processes."""
