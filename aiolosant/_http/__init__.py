"""One call of the API, from a request to a decoded response or an error."""
