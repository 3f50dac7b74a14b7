"""The equations: pure functions in textbook notation of derivatives computed elsewhere.

Arguments are tensors of one shape. Residuals are plain arithmetic, so that numpy arrays and
symbolic expressions serve as well; sources of manufactured solutions call torch.
"""
