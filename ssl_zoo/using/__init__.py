"""What is done with a trained net: predictions of many images, exports, reports."""
