"""What tests share: tiny models, shelves of books, talkers that write known replies, a browser."""
