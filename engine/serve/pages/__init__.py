"""The pages for browsers: a place to try the models, and the API's documentation."""
