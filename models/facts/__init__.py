"""What trees may ask: each module declares sets of facts."""
