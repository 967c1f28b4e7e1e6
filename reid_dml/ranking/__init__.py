"""Rankings of a gallery: the protocol's rules, metrics, re-ranking, multi-query, scoring of feature files."""
