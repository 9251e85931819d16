"""The project over HTTP: ``sqam serve``, its calls and its page.

Needs the extra ``serve``; what ranks emojis without a server imports nothing of it.
"""
