"""What passed through the gateway lately, shown to its owner and sent again."""
