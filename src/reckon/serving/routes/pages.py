"""The pages at `/`: for people who want to look."""

from fastapi import APIRouter

router = APIRouter(include_in_schema=False)
