"""The service as an application of Ray Serve: three deployments that grow by themselves, on as many machines as needed.

    ingress   the whole service but its models, without a GPU: it receives, decodes, finds speech and writes answers
    ear       the recognizer of a cascade; absent for an audio language model
    engine    vLLM with the language model, on one or several GPUs

`application.build` puts them together, and `deploy/ray/` has the files that Ray and KubeRay are given. What a request
goes through is `app.main` and `app.summarize`, as without Ray: the models are replaced by `ServeChatModel` and
`ServeTranscriber`, which ask the other two deployments.
"""
