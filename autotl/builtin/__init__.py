"""The plugins that ship with autotl, on the public hooks alone; each is loaded by its name."""
