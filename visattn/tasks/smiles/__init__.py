"""The far-away smile: is each sushi's diner smiling?"""
