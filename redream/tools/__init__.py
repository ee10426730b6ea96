"""What stands behind each verb of the command line, one small file per verb.

Nothing but ``redream.cli`` imports these, and only when the verb is asked for.
"""
