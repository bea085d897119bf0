"""The customers' pages: server-made HTML, one stylesheet and one script of our own, a strict policy."""
