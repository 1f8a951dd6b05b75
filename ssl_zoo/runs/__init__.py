"""One run: from settings to a scored row and a trained net, in a folder of its own."""
