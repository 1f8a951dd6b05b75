"""A page of results: every file of rows as tables that sort and filter, with what each number was made with."""
