"""Pure: plans, reports and states as text, markdown and JSON documents."""
