"""The record of an audit: manifest, subgroups, controls, model card, sheets of single cases."""
