"""What runs inside the container: a test server that forks for each candidate.

Standard library and pytest only, Python 3.11. `sandbox.tester.bundle` sends these files in, under
another package name, as the repository may have a `sandbox` of its own.
"""
