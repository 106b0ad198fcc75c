"""A campaign: a file of people, a message for each of them, sent once, whatever happens on the way."""
