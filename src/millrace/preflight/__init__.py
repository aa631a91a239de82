"""What must hold before anything is changed: checks of an inventory and its hosts, and the site's secrets."""
