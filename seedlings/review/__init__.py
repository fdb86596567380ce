"""The review of labels: a page on which a person decides about images, one by one."""
