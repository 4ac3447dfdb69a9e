"""What sushi is served on and with: plates, tables, garnish, and styles of these."""
