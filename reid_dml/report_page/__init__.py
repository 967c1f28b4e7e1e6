"""report.html: the page of a run, put together from what tables, figures and analyses give."""
