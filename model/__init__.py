"""The model, from its configuration to its answers. Reads top to bottom: config, gpt, data, optim, groups, trainer."""
