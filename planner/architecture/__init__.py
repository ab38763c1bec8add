"""Model architectures: from a `config.json` to modules, parameters and a forward program."""
