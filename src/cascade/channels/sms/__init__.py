"""SMS by those who sell it over HTTP. Over SMPP: `channels/smpp`."""
