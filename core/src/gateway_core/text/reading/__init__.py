"""Makes styled text of Markdown or of a plain text; imports from `text` and `contract` alone."""
