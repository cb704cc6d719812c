"""What people see of a run: terminal, claims matrix, topology's picture, Allure. It decides nothing."""
