import not_python
