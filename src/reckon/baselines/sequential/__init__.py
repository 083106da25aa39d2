"""Baselines that read a history as a sequence of items: SASRec, BERT4Rec, GRU4Rec, Caser."""
