"""The Python side of Netwright: what runs the candidates, and what prepares their data."""
