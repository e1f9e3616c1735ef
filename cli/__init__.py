"""The command `mnist-fn`. A framework is imported only inside the command that needs it."""
