"""Charts: what they show (`chart`), and drawing them as SVG and PNG (`draw`)."""
