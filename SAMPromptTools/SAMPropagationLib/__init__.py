"""The panel "Patient Propagation": parameters, logic, results and their display, widgets, self-test."""
