"""What goes through the gateway: counted live, kept, rolled up, and told as statistics, history and metrics."""
