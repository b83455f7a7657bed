"""Code-related web pages out of crawls: WARC and page tables in, text with its code kept to the byte out."""
