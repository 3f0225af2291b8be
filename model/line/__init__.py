"""What an agent and its children say to each other: frozen values, and their form as JSON lines.

Imports the standard library alone, so the agent stays free of torch and the model stays free of the agent.
"""
