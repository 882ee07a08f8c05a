"""What `pilothouse up` starts and watches on one machine."""
