"""Where summaries are written: one small protocol (`base`) and what implements it. Nothing outside this folder
imports vLLM.
"""
