"""Commands about this machine and its folders."""
