"""The engines that write summaries: one small protocol (`base`) and its implementations. Nothing outside this folder
imports vLLM.
"""
