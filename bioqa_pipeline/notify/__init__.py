"""What a run changed of the answers into messages for people who do not look: webhooks, and a feed in the data set."""
