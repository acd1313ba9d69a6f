"""Views that enqueue."""

from django.urls import path

from tests.project import views

urlpatterns = [
    path("order/<int:number>/", views.order),
    path("savepoint/<int:number>/", views.savepoint),
]
