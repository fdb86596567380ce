"""The script that `seedlings review` runs in Streamlit."""

from seedlings.review import page

page.show()
