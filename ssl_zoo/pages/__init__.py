"""Pages of HTML, each one file that holds all it needs: elements, how they look, what a browser may do with them."""
