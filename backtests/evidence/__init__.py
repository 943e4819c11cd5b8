"""What a comparison can and cannot show: pure functions on arrays and frames of daily returns.

`leads`: Sharpe differences with Newey-West errors, which the verdict rests on. `halves`: whether a
lead decayed. `sharpes`: bootstrap bands and the deflated Sharpe ratio. `snooping`: tests over many
strategies at once. `calls`: the up/down calls beside the base rate. `forecasts`: price
forecasts beside the naive one. `periods`: by year, by volatility and by seed. `shifts`: random
calls of the same exposure. arch, statsmodels and purgedcv are imported where they are used.
"""
