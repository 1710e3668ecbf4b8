"""Networks that write about an image: captioners, visual question answering, and vision-language models."""
