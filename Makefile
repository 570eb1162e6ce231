# Every target is a line over scripts/, which also run by themselves. Needs Python 3.11 or newer, git and make.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint serve bench evidence docs clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup:  ## make .venv, with everything in it
	@scripts/setup

demo: setup  ## start the service; classify, explain and attack a photograph; leave the pictures in demo/
	@.venv/bin/python scripts/demo.py

test:  ## run all tests
	@scripts/test

lint:  ## check style and types
	@scripts/lint

serve:  ## start the service: REST on :8000, gRPC on :8001
	@scripts/serve

bench:  ## measure beside Captum, torchattacks, Foolbox and ART
	@scripts/bench

evidence:  ## run what takes long, and print the tables of docs/evidence/
	@scripts/evidence

docs:  ## write the generated pages of docs/ anew
	@scripts/docs

clean:  ## remove caches and pictures; .venv and .rakinglight stay
	@scripts/clean
