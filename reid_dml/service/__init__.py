"""A gallery served over HTTP: a page to search it by image, and a REST interface."""
